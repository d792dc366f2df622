package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parley-bft/parley/statemachine/kv"
)

// record is one line of a file to load.
type record struct {
	key, value []byte
	line       int
}

// maxLine bounds a line: the longest key and value, and what separates them.
const maxLine = 1 << 20

// maxLineErrors is how many bad lines are listed.
const maxLineErrors = 10

// openInput opens a file, or standard input for "-".
func openInput(path string, stdin io.Reader) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(stdin), nil
	}
	return os.Open(path)
}

// readRecords reads all lines: a key, then a tab, or else the first '=' or space,
// then the value. Empty lines and lines that begin with '#' are left out. All bad
// lines are named in the error, with their numbers.
func readRecords(r io.Reader, limits kv.Limits) ([]record, error) {
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 64<<10), maxLine)
	var records []record
	var errs []error
	bad := 0
	line := 0
	for scan.Scan() {
		line++
		b := bytes.TrimSuffix(scan.Bytes(), []byte("\r"))
		if len(b) == 0 || b[0] == '#' {
			continue
		}
		key, value, err := splitRecord(b)
		if err == nil {
			err = checkRecord(key, value, limits)
		}
		if err != nil {
			if bad++; bad <= maxLineErrors {
				errs = append(errs, fmt.Errorf("line %d: %w", line, err))
			}
			continue
		}
		both := append(bytes.Clone(key), value...)
		records = append(records, record{key: both[:len(key):len(key)], value: both[len(key):], line: line})
	}
	if err := scan.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			err = fmt.Errorf("line %d is longer than %d bytes", line+1, maxLine)
		}
		return nil, err
	}
	if bad > maxLineErrors {
		errs = append(errs, fmt.Errorf("and %d more", bad-maxLineErrors))
	}
	if bad > 0 {
		return nil, fmt.Errorf("%d bad lines, nothing was loaded:\n%w", bad, errors.Join(errs...))
	}
	return records, nil
}

func splitRecord(b []byte) (key, value []byte, err error) {
	if key, value, ok := bytes.Cut(b, []byte("\t")); ok {
		return key, value, nil
	}
	if i := bytes.IndexAny(b, " ="); i >= 0 {
		return b[:i], b[i+1:], nil
	}
	return nil, nil, errors.New("no tab, space or '=' between key and value")
}

func checkRecord(key, value []byte, limits kv.Limits) error {
	switch {
	case len(key) == 0:
		return errors.New("the key is empty")
	case len(key) > limits.MaxKeyBytes:
		return fmt.Errorf("the key has %d bytes, at most %d are allowed", len(key), limits.MaxKeyBytes)
	case len(value) > limits.MaxValueBytes:
		return fmt.Errorf("the value has %d bytes, at most %d are allowed", len(value), limits.MaxValueBytes)
	}
	return nil
}

// expected is what the store should have of the keys in a file.
type expected struct {
	value []byte
	times uint64 // that the file has the key
	line  int    // of the last
}

func expectations(records []record) map[string]expected {
	m := make(map[string]expected, len(records))
	for i := range records {
		r := &records[i]
		e := m[string(r.key)]
		m[string(r.key)] = expected{value: r.value, times: e.times + 1, line: r.line}
	}
	return m
}
