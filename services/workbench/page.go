package workbench

import (
	"embed"
	"fmt"
	"html/template"
	"strings"
	"time"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed pages/style.css
var style []byte

// pageNames are the pages; each is laid out by layout.html.
func pageNames() []string {
	return []string{"status", "flows", "flow", "mismatches", "exceptions", "refusal"}
}

// readPages makes the pages, whose links begin with base.
func readPages(base string) (map[string]*template.Template, error) {
	pages := map[string]*template.Template{}
	for _, name := range pageNames() {
		t, err := template.New("layout.html").Funcs(functions(base)).ParseFS(pageFiles, "pages/layout.html", "pages/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("read page %s: %w", name, err)
		}
		pages[name] = t
	}
	return pages, nil
}

func functions(base string) template.FuncMap {
	return template.FuncMap{
		"at":    func(path string) string { return base + path },
		"query": query,
		"link":  link,
		"clock": clock,
		"stamp": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"ago":   ago,
		"words": func(code string) string { return strings.ToLower(strings.ReplaceAll(code, "_", " ")) },
		"join":  func(s []string) string { return strings.Join(s, " or ") },
		"share": share,
		"known": func(t time.Time) bool { return !t.IsZero() },
		"add":   func(a, b int) int { return a + b },
	}
}

// page is what every page is given.
type page struct {
	Title   string
	At      string // which entry of the menu is open
	Refresh int    // seconds; 0: never
	Now     time.Time
	AsOf    time.Time
	Body    any
	Chart   Chart
	Earlier string // address of the page before
	Later   string // address of the page after
}

// clock writes an instant for people: "5 Jan 2026 09:00:07".
func clock(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format("2 Jan 2006 15:04:05")
}

// ago writes how long before now an instant was, or how far ahead it lies.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		return "in " + length(-d)
	}
	return length(d) + " ago"
}

// length writes a duration by its largest unit, two of them below ten.
func length(d time.Duration) string {
	units := []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		n := d / u.size
		if n == 0 {
			continue
		}
		if i+1 < len(units) && n < 10 {
			if rest := (d % u.size) / units[i+1].size; rest > 0 {
				return fmt.Sprintf("%d %s %d %s", n, u.name, rest, units[i+1].name)
			}
		}
		return fmt.Sprintf("%d %s", n, u.name)
	}
	return "0 s"
}

// share is a part of a whole in percent, at least one so that it can be seen.
func share(n int, of []Phase) int {
	most := 1
	for _, p := range of {
		most = max(most, p.Flows)
	}
	return max(1, 100*n/most)
}
