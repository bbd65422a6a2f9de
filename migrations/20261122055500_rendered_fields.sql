-- The arguments of a try once rendered, as people see them: secrets masked, long ones cut. Null: the task
-- has no templates, or the try ended before they were rendered.
ALTER TABLE try_history ADD COLUMN rendered jsonb;
