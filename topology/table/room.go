package table

import "fmt"

// room refuses to write where little is left. A table that finds no room is an error
// of the checkpoint or the merge that writes it; a log, or the list of tables, is the
// end of the process. Nothing is lost either way, since the changelog has all of it;
// but this way whoever looks is told why, and nothing stands still that need not.
type room struct{ dir string }

// Reserve is the room that is kept free, in bytes, for the log and the list. A merge
// that is under way may take of it: that makes the end of the process rare, not
// impossible.
const Reserve = 64 << 20

func (r room) check() error {
	left, err := free(r.dir)
	if err != nil {
		return err
	}
	if left < Reserve {
		return fmt.Errorf("%d MiB are left on the disk of %s and at least %d are kept free: make room; until then the state stays as it was at the last checkpoint and is restored from the changelog",
			left>>20, r.dir, Reserve>>20)
	}
	return nil
}
