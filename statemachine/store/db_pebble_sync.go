package store

import "github.com/cockroachdb/pebble"

// sync writes an empty entry to the log, which is durable with all those before it.
func (p *pebbleDB) sync() (err error) {
	defer rescue(&err)
	return p.db.DB().LogData(nil, pebble.Sync)
}
