package schemas

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/twmb/avro"
)

// personalHome is the one type that may hold personal data: a tombstone on its
// topic erases a person, which a copy elsewhere would survive.
const personalHome = "CustomerRecorded"

// units are the words a field may be measured in.
var units = []string{"code", "count", "flag", "id", "instant", "list", "minor", "number", "points", "record", "text"}

var (
	camelCase  = regexp.MustCompile(`^[a-z][a-zA-Z0-9]*$`)
	noSentence = regexp.MustCompile(`^.{0,7}$`)
)

// Lint checks what the Avro specification leaves open: every field says what it
// means, in which unit, and whose it is.
func Lint(c *Catalogue) []Problem {
	var problems []Problem
	var envelope string
	for _, t := range c.Types() {
		for _, v := range t.Versions {
			root := v.Schema.Root()
			say := func(format string, args ...any) {
				problems = append(problems, Problem{v.Path, fmt.Sprintf(format, args...)})
			}
			if noSentence.MatchString(root.Doc) {
				say("the record has no doc")
			}
			if len(root.Fields) == 0 || root.Fields[0].Name != "envelope" {
				say("the first field is not the envelope")
				continue
			}
			lintFields(root, t.Name == personalHome, say)
			text := fmt.Sprint(root.Fields[0].Type)
			if envelope == "" {
				envelope = text
			}
			if text != envelope {
				say("its envelope is not the envelope of the other files")
			}
		}
	}
	return problems
}

func lintFields(n *avro.SchemaNode, personal bool, say func(string, ...any)) {
	for i := range n.Fields {
		f := &n.Fields[i]
		where := n.Name + "." + f.Name
		if !camelCase.MatchString(f.Name) {
			say("%s is not camelCase", where)
		}
		if noSentence.MatchString(f.Doc) {
			say("%s has no doc that says what it means", where)
		}
		unit, _ := f.Props["unit"].(string)
		if !slices.Contains(units, unit) {
			say("%s has unit %q, want one of %v", where, unit, units)
		}
		if owner, _ := f.Props["owner"].(string); owner == "" {
			say("%s has no owner", where)
		}
		if is, _ := f.Props["personal"].(bool); is && !personal {
			say("%s is personal data outside %s: it could not be erased", where, personalHome)
		}
		lintType(&f.Type, unit, where, say)
		for _, inner := range records(&f.Type) {
			lintFields(inner, personal, say)
		}
	}
}

func lintType(n *avro.SchemaNode, unit, where string, say func(string, ...any)) {
	switch {
	case n.Type == "float" || n.Type == "double" || n.LogicalType == "decimal" || n.LogicalType == "big-decimal":
		say("%s is a %s: amounts are integers in minor units, measures integers in named ones", where, n.Type)
	case unit == "minor" && n.Type != "long":
		say("%s is money and a %s, want long", where, n.Type)
	case unit == "instant" && n.Type == "long" && n.LogicalType != "timestamp-millis":
		say("%s is an instant without logical type timestamp-millis", where)
	}
}

// records finds the records right inside a field's type.
func records(n *avro.SchemaNode) []*avro.SchemaNode {
	switch n.Type {
	case "record":
		return []*avro.SchemaNode{n}
	case "array":
		return records(n.Items)
	case "map":
		return records(n.Values)
	case "union":
		var all []*avro.SchemaNode
		for i := range n.Branches {
			all = append(all, records(&n.Branches[i])...)
		}
		return all
	}
	return nil
}
