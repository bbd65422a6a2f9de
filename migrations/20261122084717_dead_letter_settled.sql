-- Dead letters that are settled, or belong to a try whose result never came: upkeep looks through them
-- in this order, and drops those whose runs are gone.
CREATE INDEX dead_letter_settled ON dead_letter (id) WHERE state <> 'open' OR NOT visible;
