"""ValidatingAdmissionPolicy as the API server evaluates it: which requests it concerns, its expressions, its no.

``gate`` is where every write passes, ``policies`` compiles an object and evaluates it, ``matching`` tells which
requests it concerns, ``expressions`` is the one place that knows the CEL evaluator (package cel-expr-python: the CEL
project's own runtime, imported when the first policy is made).

Two things differ from a cluster. A policy holds from the moment it is stored; a cluster takes about a second. And what
is not evaluated is refused when the policy is made, never ignored: parameters, ``authorizer``, and Kubernetes' own
function libraries (quantities, IP addresses, URLs, regular expressions beyond ``matches``).
"""
