// Package arch holds the house's rules as tests. Each failure says why the rule
// is there.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "troupe"

// file is a Go source file of the house.
type file struct {
	path    string // slash-separated, from the top
	pkg     string // its folder
	test    bool
	imports []string
	syntax  *ast.File
}

func house(t *testing.T) []file {
	t.Helper()
	var files []file
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != "." && strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), filepath.Join("../..", p), nil, parser.ParseComments)
		if err != nil {
			return err
		}
		f := file{path: p, pkg: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), syntax: syntax}
		for _, im := range syntax.Imports {
			name, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, name)
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("only %d files found: the rules below would hold of nothing", len(files))
	}
	return files
}

func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

// contextOf is the bounded context of a folder, "" for none.
func contextOf(pkg string) string {
	rest, ok := strings.CutPrefix(pkg, "services/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	if name == "cmd" {
		return ""
	}
	return name
}

func TestImports(t *testing.T) {
	rules := []struct {
		name, why string
		broken    func(f file, im string) bool
	}{
		{"schemas imports nothing of ours", "the published language must be readable by a team that has nothing else of this repository",
			func(f file, im string) bool {
				return within(f.pkg, "schemas") && within(im, module) && !within(im, module+"/schemas")
			}},
		{"topology imports schemas only", "the map must not know the places on it, or a new context would change it",
			func(f file, im string) bool {
				return within(f.pkg, "topology") && within(im, module) && !within(im, module+"/schemas") && !within(im, module+"/topology")
			}},
		{"a context never imports another", "services share events, not code: one that imports another is deployed with it",
			func(f file, im string) bool {
				rest, ok := strings.CutPrefix(im, module+"/")
				return ok && contextOf(f.pkg) != "" && contextOf(rest) != "" && contextOf(rest) != contextOf(f.pkg)
			}},
		{"a context imports topology, schemas and nothing else of ours", "what it needs besides is what would make it hard to move",
			func(f file, im string) bool {
				return contextOf(f.pkg) != "" && !f.test && within(im, module) && !within(im, module+"/topology") &&
					!within(im, module+"/schemas") && !within(im, module+"/"+f.pkg)
			}},
		{"the Kafka client is topology/stream's", "a guard that is missing in a second place is a guard that is missing",
			func(f file, im string) bool {
				return strings.HasPrefix(im, "github.com/twmb/franz-go") && !strings.HasPrefix(im, "github.com/twmb/franz-go/pkg/sr") &&
					!within(f.pkg, "topology/stream") && !within(f.pkg, "testenv")
			}},
		{"the database is topology/table's", "state that others write does not trail Kafka",
			func(f file, im string) bool {
				return strings.HasPrefix(im, "github.com/cockroachdb/pebble") && !within(f.pkg, "topology/table")
			}},
		{"Avro is schemas'", "two codecs in two places are two languages",
			func(f file, im string) bool {
				return (strings.HasPrefix(im, "github.com/twmb/avro") || strings.HasPrefix(im, "github.com/linkedin/goavro")) && !within(f.pkg, "schemas")
			}},
		{"the edge has neither tables nor timers", "mediation holds no business state",
			func(f file, im string) bool {
				return contextOf(f.pkg) == "edge" && (within(im, module+"/topology/table") || within(im, module+"/topology/stream") || within(im, module+"/topology/clock"))
			}},
		{"production does not import testenv", "what is simulated must be replaceable; only the command embeds it",
			func(f file, im string) bool {
				return !f.test && within(im, module+"/testenv") && !within(f.pkg, "testenv") && !within(f.pkg, "services/cmd")
			}},
		{"services.All is for the command and testenv", "whoever else knows every context is the shared model that this house avoids",
			func(f file, im string) bool {
				return im == module+"/services" && !within(f.pkg, "services/cmd") && !within(f.pkg, "testenv") && f.pkg != "services"
			}},
	}
	files := house(t)
	for _, r := range rules {
		for _, f := range files {
			for _, im := range f.imports {
				if r.broken(f, im) {
					t.Errorf("%s imports %s\n\trule: %s\n\twhy:  %s", f.path, im, r.name, r.why)
				}
			}
		}
	}
}

// impure are packages through which the world, or a clock, enters.
var impure = []string{"context", "os", "log", "log/slog", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand", "github.com/prometheus/client_golang/prometheus"}

// TestDomainIsPure: a context's files but for its gateway, its policy and its
// service value are the domain.
func TestDomainIsPure(t *testing.T) {
	rim := []string{"gateway.go", "service.go", "policy.go", "intake.go", "handler.go", "server.go"}
	seen := 0
	for _, f := range house(t) {
		if contextOf(f.pkg) == "" || contextOf(f.pkg) == "edge" || contextOf(f.pkg) == "workbench" || f.test || slices.Contains(rim, path.Base(f.path)) {
			continue
		}
		seen++
		for _, im := range f.imports {
			if slices.Contains(impure, im) {
				t.Errorf("%s imports %s\n\trule: domain files do no I/O\n\twhy:  a decision that asks the world cannot be replayed or tested by a call", f.path, im)
			}
		}
	}
	if seen == 0 {
		t.Error("no domain file found")
	}
}

// TestNoClockInServices: time comes in with the turn.
func TestNoClockInServices(t *testing.T) {
	for _, f := range house(t) {
		if contextOf(f.pkg) == "" || f.test {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && (sel.Sel.Name == "Now" || sel.Sel.Name == "Since" || sel.Sel.Name == "Sleep") {
				t.Errorf("%s calls time.%s\n\trule: no service reads a clock\n\twhy:  a replay must see the time that the event saw", f.path, sel.Sel.Name)
			}
			return true
		})
	}
}

// TestPackagesSayWhatTheyAre: one package comment each, in doc.go where there
// is one.
func TestPackagesSayWhatTheyAre(t *testing.T) {
	said := map[string]bool{}
	all := map[string]bool{}
	for _, f := range house(t) {
		if strings.HasPrefix(f.pkg, "services/cmd") {
			continue
		}
		all[f.pkg] = true
		if f.syntax.Doc != nil && len(f.syntax.Doc.Text()) > 40 {
			said[f.pkg] = true
		}
	}
	for pkg := range all {
		if !said[pkg] {
			t.Errorf("package %s has no comment that says what it is\n\twhy: a newcomer reads that first", pkg)
		}
	}
}

func TestTopLevel(t *testing.T) {
	allowed := []string{"services", "schemas", "topology", "deploy", "testenv", "go.mod", "go.sum", "Makefile", "README.md", "LICENSE", "bin", "state"}
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s stands at the top\n\trule: the top level is fixed\n\twhy:  a newcomer should find a thing where he first looks", e.Name())
		}
	}
}
