-- A clear may say that rows which the task has appended are to be appended once more.
ALTER TABLE task_reset ADD COLUMN load_again boolean NOT NULL DEFAULT false;
