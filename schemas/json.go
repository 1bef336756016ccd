package schemas

import (
	"context"
	"fmt"
	"sync"

	"github.com/linkedin/goavro/v2"
)

// generic keeps goavro's codecs. It is slower than the typed codec and
// independent of it: records for people go through it, and on every golden byte
// the two must agree.
type generic struct {
	mu     sync.Mutex
	codecs map[string]*goavro.Codec
}

func (g *generic) codec(text string) (*goavro.Codec, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.codecs[text]; c != nil {
		return c, nil
	}
	c, err := goavro.NewCodecForStandardJSONFull(text)
	if err != nil {
		return nil, fmt.Errorf("parse schema: %w", err)
	}
	if g.codecs == nil {
		g.codecs = map[string]*goavro.Codec{}
	}
	g.codecs[text] = c
	return c, nil
}

// maxItems bounds what the generic codec believes of a block of an array or map.
// It makes room for as many as the bytes claim before it reads one: four bytes
// made it take 17 GiB.
const maxItems = 1 << 16

func init() { goavro.MaxBlockCount = maxItems } // it has no other way to be told

// JSON turns any framed record into JSON, with the name of its type.
func (w *Wire) JSON(ctx context.Context, value []byte) (string, []byte, error) {
	f, err := w.Open(ctx, value)
	if err != nil {
		return "", nil, err
	}
	codec, err := w.generic.codec(f.schema.schema.String())
	if err != nil {
		return f.Type, nil, err
	}
	native, rest, err := codec.NativeFromBinary(f.Body)
	if err != nil {
		return f.Type, nil, fmt.Errorf("%w: %s: %w", ErrBody, f.Type, err)
	}
	if len(rest) > 0 {
		return f.Type, nil, fmt.Errorf("%w: %s: %d bytes too many", ErrBody, f.Type, len(rest))
	}
	text, err := codec.TextualFromNative(nil, native)
	if err != nil {
		return f.Type, nil, fmt.Errorf("%s as JSON: %w", f.Type, err)
	}
	return f.Type, text, nil
}
