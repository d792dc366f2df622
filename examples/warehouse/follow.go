package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/parley-bft/parley/client"
)

// copied is what the shop knows: its copy of the stock, and up to where in the history of
// all changes it has come. Both are written in one step, so that wherever the shop's
// program ends, they belong together.
type copied struct {
	Cursor client.Cursor     `json:"cursor"`
	Stock  map[string]string `json:"stock"`
}

// load reads the copy, or begins a new one: before the first change.
func load(file string) (*copied, error) {
	c := &copied{Cursor: client.FromBeginning(), Stock: map[string]string{}}
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c, nil
	case err != nil:
		return nil, err
	}
	return c, json.Unmarshal(data, c)
}

// save puts the copy in the place of the last one. A program that must survive a power cut
// also syncs the file and its folder, or uses a database.
func (c *copied) save(file string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// follow takes so many changes, and ends. Each is certified, and none is missing: a replica
// that drops, forges, reorders or withholds one is left for another. Fault hears of it.
func follow(ctx context.Context, c *client.Client, file string, changes int, out io.Writer) error {
	book, err := load(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "the shop begins after block %d\n", book.Cursor.Height())
	w := c.Watch(client.WatchOptions{
		From:  book.Cursor,
		Fault: func(f client.WatchFault) { fmt.Fprintf(out, "%s is %v: %v\n", f.Name, f.Kind, f.Err) },
	})
	for range changes {
		e, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if e.Kind == client.Deleted {
			delete(book.Stock, string(e.Key))
			fmt.Fprintf(out, "the shop hears: no %s any more\n", e.Key)
		} else {
			book.Stock[string(e.Key)] = string(e.Value)
			fmt.Fprintf(out, "the shop hears: %s %s\n", e.Value, e.Key)
		}
		book.Cursor = e.Cursor
		if err := book.save(file); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "the shop ends, with %d kinds of items\n", len(book.Stock))
	return nil
}
