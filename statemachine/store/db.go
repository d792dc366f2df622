package store

// database is all that the store asks of one. Slices that it returns are the caller's;
// those that it is given may change afterwards.
type database interface {
	// get returns nil if there is no such key.
	get(key []byte) ([]byte, error)
	// iterate stands at the first (reverse: last) key in [from, to); it sees the database
	// as it is now.
	iterate(from, to []byte, reverse bool) (dbIterator, error)
	newBatch() batch
	close() error
}

// dbIterator walks over entries; key and value are valid until next.
type dbIterator interface {
	valid() bool
	key() []byte
	value() []byte
	next()
	// close returns the first error of the walk.
	close() error
}

// batch is changes that are made together, or not at all.
type batch interface {
	set(key, value []byte)
	delete(key []byte)
	// size is about how many bytes it holds.
	size() int
	// write ends the batch. With sync it returns when it is on the disk, and so are the
	// batches before it.
	write(sync bool) error
}

// disks makes databases. There is one in use, and while a state is restored a second.
type disks interface {
	// current opens the database in use, or an empty one.
	current() (database, error)
	// again opens the one in use once more, to be read only: it does nothing by itself.
	again() (database, error)
	// fresh makes an empty one beside it.
	fresh() (database, error)
	// scratch makes one for temporary data.
	scratch() (database, error)
	// adopt makes the last fresh one the one in use; the one before is gone.
	adopt() error
	// drop removes the scratch one, and the fresh one unless it was adopted. They are closed.
	drop() error
	// close lets go of what it holds; the databases are closed.
	close() error
}
