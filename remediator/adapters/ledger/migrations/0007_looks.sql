-- How many actions that change nothing were admitted lately, by name: a storm leaves room for a few looks only.
CREATE INDEX actions_looking ON remediator.actions (action, admitted_at) WHERE NOT changes;

-- New candidates and those that come back are taken side by side, each in their order.
CREATE INDEX candidates_by_turn ON remediator.candidates (state, severity, not_before) WHERE state IN ('new', 'held');
DROP INDEX remediator.candidates_to_assess;
