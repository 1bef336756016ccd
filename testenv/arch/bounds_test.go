package arch

import (
	"go/ast"
	"go/token"
	"regexp"
	"testing"
)

// bounding is what constants are called that bound a list, a body, a page, a memory or a wait.
var bounding = regexp.MustCompile(`^[mM]ax[A-Z]|^remember|^[a-z]\w*(Limit|Timeout)$|[pP]atience$|PerPage$`)

// TestBoundsAreListed: a bound that is on no service's list is met before anybody knows of it.
func TestBoundsAreListed(t *testing.T) {
	type constant struct{ pkg, name string }
	var declared []constant
	listed := map[constant]bool{}
	for _, f := range house(t) {
		if f.test || contextOf(f.pkg) == "" && f.pkg != "topology/partner" && f.pkg != "topology/stream" {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				for _, name := range constants(n) {
					if bounding.MatchString(name) {
						declared = append(declared, constant{f.pkg, name})
					}
				}
			case *ast.CallExpr:
				if to, ok := n.Fun.(*ast.SelectorExpr); ok && to.Sel.Name == "AtMost" {
					ast.Inspect(n.Args[1], func(n ast.Node) bool {
						if name, ok := n.(*ast.Ident); ok {
							listed[constant{f.pkg, name.Name}] = true
						}
						return true
					})
				}
			}
			return true
		})
	}
	if len(declared) == 0 {
		t.Error("no bound found")
	}
	for _, c := range declared {
		if !listed[c] {
			t.Errorf("%s of %s is no value of a topology.AtMost\n\trule: a service lists its bounds\n\twhy:  whoever runs it should know what happens at each before it does", c.name, c.pkg)
		}
	}
}

// constants are the names that a declaration of constants declares.
func constants(d *ast.GenDecl) (names []string) {
	if d.Tok != token.CONST {
		return nil
	}
	for _, s := range d.Specs {
		for _, name := range s.(*ast.ValueSpec).Names {
			names = append(names, name.Name)
		}
	}
	return names
}
