package table

import (
	"bufio"
	"errors"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// pieceSize is how many bytes of a table are given to the system at a time. Pebble gives
// it a block of 4 KiB at a time, and the calls alone then take half of the time that
// writing takes.
const pieceSize = 64 << 10

// inPieces is a file system that writes tables in pieces. Everything else, the log above
// all, is written as it comes.
type inPieces struct{ vfs.FS }

func (fs inPieces) Unwrap() vfs.FS { return fs.FS }

func (fs inPieces) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || filepath.Ext(name) != tableExt {
		return f, err
	}
	return &pieces{f, bufio.NewWriterSize(f, pieceSize)}, nil
}

// tableExt is what the names of Pebble's tables end with.
const tableExt = ".sst"

// pieces is a file that is written from front to end. Whoever asks for what is written
// to last, or closes it, has all of it written.
type pieces struct {
	vfs.File
	w *bufio.Writer
}

func (f *pieces) Write(p []byte) (int, error) { return f.w.Write(p) }

func (f *pieces) Sync() error { return f.written(f.File.Sync) }

func (f *pieces) SyncData() error { return f.written(f.File.SyncData) }

func (f *pieces) Close() error {
	err := f.w.Flush()
	return errors.Join(err, f.File.Close())
}

func (f *pieces) SyncTo(length int64) (whole bool, err error) {
	err = f.written(func() error { whole, err = f.File.SyncTo(length); return err })
	return whole, err
}

func (f *pieces) written(then func() error) error {
	if err := f.w.Flush(); err != nil {
		return err
	}
	return then()
}
