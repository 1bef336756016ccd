package history

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// maxComplaints bounds what is said about one file.
const maxComplaints = 20

// row is a line of a file. What it cannot read it complains of, and gives a zero.
type row struct {
	file    string
	csv     *csv.Reader
	columns map[string]int
	fields  []string
	errs    []error
}

// each hands every row of a file to take.
func each(path string, take func(*row)) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := &row{file: filepath.Base(path), csv: csv.NewReader(f), columns: map[string]int{}}
	header, err := r.csv.Read()
	if err != nil {
		return fmt.Errorf("%s: read header: %w", r.file, err)
	}
	for i, name := range header {
		r.columns[strings.TrimSpace(strings.TrimPrefix(name, "\ufeff"))] = i
	}
	for len(r.errs) < maxComplaints {
		r.fields, err = r.csv.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.file, errors.Join(append(r.errs, err)...))
		}
		take(r)
	}
	return errors.Join(r.errs...)
}

// bad complains of a column of this row.
func (r *row) bad(column, format string, args ...any) {
	if len(r.errs) == maxComplaints {
		return
	}
	line := 1
	if i, ok := r.columns[column]; ok && i >= 0 { // below zero: no header names it
		line, _ = r.csv.FieldPos(i)
	}
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %s: %s", r.file, line, column, fmt.Sprintf(format, args...)))
}

// lookup is a column's value; a column that no header names is said once.
func (r *row) lookup(column string) string {
	i, ok := r.columns[column]
	if !ok {
		r.columns[column] = -1
		r.errs = append(r.errs, fmt.Errorf("%s:1: %s: there is no such column", r.file, column))
		return ""
	}
	if i < 0 {
		return ""
	}
	return strings.TrimSpace(r.fields[i])
}

func (r *row) has(column string) bool { return r.columns[column] >= 0 }

// text is a value that must be there.
func (r *row) text(column string) string {
	s := r.lookup(column)
	if s == "" && r.has(column) {
		r.bad(column, "is empty")
	}
	return s
}

func (r *row) number(column string) int32 {
	s := r.text(column)
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil && s != "" {
		r.bad(column, "%q is no number", s)
	}
	return int32(n)
}

// layouts are how an instant is written: as a spreadsheet does, and as published.
var layouts = []string{"1/2/2006 15:04", "2006-01-02 15:04:05"}

// time is an instant, cut to its minute; zero where there is none.
func (r *row) time(column string) time.Time {
	s := r.lookup(column)
	if s == "" {
		return time.Time{}
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.Truncate(time.Minute)
		}
	}
	r.bad(column, "%q is no time such as 12/31/2017 23:59", s)
	return time.Time{}
}

func (r *row) needed(column string) time.Time {
	t := r.time(column)
	if t.IsZero() && r.has(column) && r.lookup(column) == "" {
		r.bad(column, "is empty")
	}
	return t
}

// money is an amount in minor units: at most two decimals, no sign.
func (r *row) money(column string) int64 {
	s := r.text(column)
	if s == "" {
		return 0
	}
	whole, cents, _ := strings.Cut(s, ".")
	cents = strings.TrimRight(cents, "0")
	if len(cents) <= 2 && !strings.HasPrefix(s, "-") {
		if n, err := strconv.ParseInt(whole+(cents + "00")[:2], 10, 64); err == nil {
			return n
		}
	}
	r.bad(column, "%q is no amount such as 25.51", s)
	return 0
}
