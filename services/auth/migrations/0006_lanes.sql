-- Above a limit of connections, hashed lanes take the place of a queue per connection.
-- lane: the connection's lane, none: a queue of its own. While it moves, `leaving` is where it was
-- (-1: its own queue), which workers consume too; `left_at`, when requests stopped going there, stays
-- until that queue is gone.
-- Releases before this one read and write none of the three.

ALTER TABLE connections
    ADD COLUMN lane    smallint CHECK (lane >= 0),
    ADD COLUMN leaving smallint CHECK (leaving >= -1),
    ADD COLUMN left_at timestamptz;
