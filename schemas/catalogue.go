package schemas

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/avro"
)

//go:embed */*.avsc
var published embed.FS

// Catalogue is every version of every published type.
type Catalogue struct {
	types  []*Type
	byName map[string]*Type
}

// Type is an event or message with all its versions.
type Type struct {
	Name     string // OrderPlaced
	FullName string // troupe.ordercapture.OrderPlaced
	Owner    string // the context that publishes it
	Versions []Version
}

// Version is one immutable file.
type Version struct {
	Number int
	Path   string
	Text   string
	Schema *avro.Schema
}

// Latest is the version that is written.
func (t *Type) Latest() Version { return t.Versions[len(t.Versions)-1] }

// Load reads the published files.
func Load() (*Catalogue, error) { return LoadFrom(published) }

// LoadFrom reads <owner>/<Type>.v<N>.avsc files of another tree.
func LoadFrom(tree fs.FS) (*Catalogue, error) {
	c := &Catalogue{byName: map[string]*Type{}}
	paths, err := fs.Glob(tree, "*/*.avsc")
	if err != nil {
		return nil, fmt.Errorf("load schemas: %w", err)
	}
	for _, p := range paths {
		if err := c.add(tree, p); err != nil {
			return nil, fmt.Errorf("load schema %s: %w", p, err)
		}
	}
	slices.SortFunc(c.types, func(a, b *Type) int { return cmp.Compare(a.Name, b.Name) })
	for _, t := range c.types {
		slices.SortFunc(t.Versions, func(a, b Version) int { return a.Number - b.Number })
		for i, v := range t.Versions {
			if v.Number != i+1 {
				return nil, fmt.Errorf("load schemas: %s has version %d where %d is missing: versions are never taken away", t.Name, v.Number, i+1)
			}
		}
	}
	return c, nil
}

func (c *Catalogue) add(tree fs.FS, p string) error {
	text, err := fs.ReadFile(tree, p)
	if err != nil {
		return err
	}
	owner, file := path.Split(p)
	owner = strings.TrimSuffix(owner, "/")
	name, version, ok := strings.Cut(strings.TrimSuffix(file, ".avsc"), ".v")
	n, err := strconv.Atoi(version)
	if !ok || err != nil || n < 1 {
		return fmt.Errorf("the name is not <Type>.v<N>.avsc")
	}
	schema, err := avro.Parse(string(text))
	if err != nil {
		return err
	}
	root := schema.Root()
	if root.Type != "record" || root.Name != name || root.Namespace != "troupe."+owner {
		return fmt.Errorf("it defines %s %s.%s, want record troupe.%s.%s", root.Type, root.Namespace, root.Name, owner, name)
	}
	t := c.byName[name]
	if t == nil {
		t = &Type{Name: name, FullName: root.Namespace + "." + name, Owner: owner}
		c.byName[name] = t
		c.types = append(c.types, t)
	}
	if t.Owner != owner {
		return fmt.Errorf("%s is owned by %s: an event has one owner", name, t.Owner)
	}
	t.Versions = append(t.Versions, Version{Number: n, Path: p, Text: string(text), Schema: schema})
	return nil
}

// Types lists the types by name.
func (c *Catalogue) Types() []*Type { return c.types }

// Type finds a type by its short name; nil if there is none.
func (c *Catalogue) Type(name string) *Type { return c.byName[name] }

// Subject is a type's subject in the registry for a topic: several types share
// a topic, so the record's name is part of it (TopicRecordNameStrategy).
func Subject(topic string, t *Type) string { return topic + "-" + t.FullName }
