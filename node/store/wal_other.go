//go:build !linux

package store

import "github.com/dgraph-io/badger/v4"

type wal struct{}

func newWAL(string) wal { return wal{} }

func (*wal) sync(db *badger.DB, _ int) error { return db.Sync() }
func (*wal) close()                          {}
