package schemas

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/twmb/avro"

	"troupe/schemas/readtest"
)

var rewrite = flag.Bool("rewrite", false, "add golden bytes and sums of newly published files; never changes old ones")

func load(t testing.TB) *Catalogue {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPublishedFilesPassLint(t *testing.T) {
	for _, p := range Lint(load(t)) {
		t.Error(p)
	}
}

func TestPublishedFilesAreCompatible(t *testing.T) {
	for _, p := range Compat(load(t)) {
		t.Error(p)
	}
}

// sample fills a schema with values that are all different from their zeroes.
func sample(n *avro.SchemaNode, seed *int) any {
	*seed++
	switch n.Type {
	case "record":
		m := map[string]any{}
		for i := range n.Fields {
			f := &n.Fields[i]
			m[f.Name] = sample(&f.Type, seed)
		}
		return m
	case "array":
		return []any{sample(n.Items, seed), sample(n.Items, seed)}
	case "union":
		return sample(&n.Branches[len(n.Branches)-1], seed)
	case "string":
		return fmt.Sprintf("text-%d", *seed)
	case "int":
		return int32(*seed)
	case "long":
		if n.LogicalType == "timestamp-millis" {
			return time.UnixMilli(1_767_603_600_000 + int64(*seed)).UTC()
		}
		return int64(*seed) * 1_000_003
	case "boolean":
		return true
	}
	panic("no sample for " + n.Type)
}

// TestGoldenBytes: what was published once is written the same for ever, and
// both Avro implementations agree on every byte.
func TestGoldenBytes(t *testing.T) {
	w := NewWire(load(t), nil)
	for _, typ := range w.catalogue.Types() {
		for _, v := range typ.Versions {
			name := fmt.Sprintf("%s.v%d", typ.Name, v.Number)
			path := filepath.Join("testdata", "wire", name+".hex")
			seed := 0
			value := sample(v.Schema.Root().ExpandReferences(), &seed)
			b, err := v.Schema.Encode(value)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			want, err := os.ReadFile(path)
			if os.IsNotExist(err) && *rewrite {
				if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s has no golden bytes: run go test ./schemas -rewrite: %v", name, err)
				continue
			}
			golden, err := hex.DecodeString(strings.TrimSpace(string(want)))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, golden) {
				t.Errorf("%s: the typed codec no longer writes the golden bytes", name)
			}
			second, err := w.generic.codec(v.Text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			native, rest, err := second.NativeFromBinary(golden)
			if err != nil || len(rest) > 0 {
				t.Errorf("%s: the second implementation cannot read it: %v, %d bytes left", name, err, len(rest))
				continue
			}
			again, err := second.BinaryFromNative(nil, native)
			if err != nil || !bytes.Equal(again, golden) {
				t.Errorf("%s: the second implementation writes other bytes: %v", name, err)
			}
		}
	}
}

// TestPublishedFilesAreImmutable: a consumer may hold any version for years.
func TestPublishedFilesAreImmutable(t *testing.T) {
	sums := map[string]string{}
	path := filepath.Join("testdata", "published.sum")
	b, err := os.ReadFile(path)
	if err != nil && !*rewrite {
		t.Fatal(err)
	}
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if file, sum, ok := strings.Cut(l, " "); ok {
			sums[file] = sum
		}
	}
	var added bytes.Buffer
	for _, typ := range load(t).Types() {
		for _, v := range typ.Versions {
			sum := fmt.Sprintf("%x", sha256.Sum256([]byte(v.Text)))
			switch want, known := sums[v.Path]; {
			case !known && *rewrite:
				fmt.Fprintf(&added, "%s %s\n", v.Path, sum)
			case !known:
				t.Errorf("%s is new: run go test ./schemas -rewrite", v.Path)
			case want != sum:
				t.Errorf("%s was changed after it was published: add version %d instead", v.Path, v.Number+1)
			}
			delete(sums, v.Path)
		}
	}
	for file := range sums {
		t.Errorf("%s was published and is gone", file)
	}
	if *rewrite && added.Len() > 0 {
		if err := os.WriteFile(path, append(b, added.Bytes()...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLintFinds(t *testing.T) {
	good := load(t).Type("FraudCleared").Latest().Text
	for _, c := range []struct{ name, from, to, want string }{
		{"no unit", `"unit": "points"`, `"unit": "bananas"`, "unit"},
		{"no doc", `"doc": "Risk score, higher is riskier."`, `"doc": ""`, "no doc"},
		{"personal", `"unit": "points"`, `"unit": "points", "personal": true`, "personal"},
		{"float", `"name": "score", "type": "int"`, `"name": "score", "type": "double"`, "double"},
		{"money as int", `"unit": "points"`, `"unit": "minor"`, "money"},
		{"snake", `"name": "score"`, `"name": "risk_score"`, "camelCase"},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		if text == good {
			t.Fatalf("%s: the sample has no %s", c.name, c.from)
		}
		bad, err := LoadFrom(fstest.MapFS{"fraud/FraudCleared.v1.avsc": {Data: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		problems := Lint(bad)
		if len(problems) != 1 || !strings.Contains(problems[0].What, c.want) {
			t.Errorf("%s: %v", c.name, problems)
		}
	}
}

func TestCompatFinds(t *testing.T) {
	one := load(t).Type("FraudCleared").Latest().Text
	field := `{"name": "score"`
	for _, c := range []struct {
		name, to string
		ok       bool
	}{
		{"a field with a default", `{"name": "note", "type": "string", "default": ""}, ` + field, true},
		{"a field without", `{"name": "note", "type": "string"}, ` + field, false},
		{"another type", `{"name": "scores"`, false},
	} {
		two := strings.Replace(one, field, c.to, 1)
		if err := CompatText([]string{one}, two); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		tree, err := LoadFrom(fstest.MapFS{
			"fraud/FraudCleared.v1.avsc": {Data: []byte(one)}, "fraud/FraudCleared.v2.avsc": {Data: []byte(two)},
		})
		if err != nil {
			t.Fatal(err)
		}
		if problems := Compat(tree); (len(problems) == 0) != c.ok {
			t.Errorf("%s: %v", c.name, problems)
		}
	}
}

func TestStateOfAnotherVersion(t *testing.T) {
	type before struct {
		Count int32 `avro:"count"`
	}
	type now struct {
		Count int32  `avro:"count"`
		Note  string `avro:"note,default=none"`
	}
	old, err := NewState[before]("count")
	if err != nil {
		t.Fatal(err)
	}
	b, err := old.Append(nil, &before{7})
	if err != nil {
		t.Fatal(err)
	}
	current, err := NewState[now]("count")
	if err != nil {
		t.Fatal(err)
	}
	var row now
	if err := current.Decode(b, &row); err == nil {
		t.Error("a row of an unknown version was read")
	}
	if err := current.Older(old.Text()); err != nil {
		t.Fatal(err)
	}
	if err := current.Decode(b, &row); err != nil || row.Count != 7 || row.Note != "none" {
		t.Errorf("row %+v, %v", row, err)
	}
}

// known is a wire that knows OrderPlaced as schema 1, and the body of one.
func known(t testing.TB) (w *Wire, body []byte) {
	t.Helper()
	w = NewWire(load(t), nil)
	v := w.catalogue.Type("OrderPlaced").Latest()
	var err error
	if w.byID[1], err = writtenAs(v.Text); err != nil {
		t.Fatal(err)
	}
	seed := 0
	if body, err = v.Schema.Encode(sample(v.Schema.Root().ExpandReferences(), &seed)); err != nil {
		t.Fatal(err)
	}
	return w, body
}

// TestReaderOfAHiddenField: what could never be read is refused when a service binds,
// not left empty.
func TestReaderOfAHiddenField(t *testing.T) {
	w, _ := known(t)
	type hidden struct {
		Lines []struct {
			sku string `avro:"sku"` //nolint:unused // that is the point
		} `avro:"lines"`
	}
	if _, err := NewReader[hidden](w, "OrderPlaced"); err == nil || !strings.Contains(err.Error(), "field sku, which is not exported") {
		t.Errorf("it binds with %v", err)
	}
}

// TestGenericCodecBelievesNoCount: a count of two thousand million items in three
// hundred bytes is refused, at the cost of the bytes.
func TestGenericCodecBelievesNoCount(t *testing.T) {
	w, body := known(t)
	for i := range body { // one of them is where an array begins
		for _, count := range []int64{1 << 30, -(1 << 30), 1 << 24} {
			value := binary.AppendVarint(append([]byte{0, 0, 0, 0, 1}, body[:i]...), count)
			value = append(value, body[i+1:]...)
			took := readtest.Allocated(func() { _, _, _ = w.JSON(t.Context(), value) }) // what it says is for others to test
			if took > 16<<20 {
				t.Fatalf("count %d at byte %d: %d bytes taken", count, i, took)
			}
		}
	}
}
