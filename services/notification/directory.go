package notification

import (
	"sync"

	"troupe/topology"
)

// Directory says who a customer is: a global view of the topic `customers`, and
// the only place in this context that holds personal data. It is in memory, so a
// tombstone leaves no copy behind.
//
// It has no limit: a table that dropped people to stay small would leave their
// mails unsent. It grows with the customers of all tenants, some hundred bytes
// each, on every replica.
type Directory struct {
	mu     sync.RWMutex
	people map[string]person // by tenant/customer
}

// person is empty but for erased once a tombstone was seen. The mark tells an
// erased person from one whose record is still on its way. It does not outlive
// what the broker keeps of tombstones: after a restart later than that, an
// erased person is one who never was there, and gets no mail either.
type person struct {
	name, email string
	erased      bool
}

// recorded is what the directory reads of CustomerRecorded.
type recorded struct {
	Name  string `avro:"name"`
	Email string `avro:"email"`
}

// NewDirectory returns an empty directory, to be filled as a view.
func NewDirectory() *Directory { return &Directory{people: map[string]person{}} }

func (d *Directory) view() topology.View {
	h := topology.See("CustomerRecorded", d.record)
	h.Erase = d.erase
	return topology.View{Name: "customers", Handlers: []topology.ViewHandler{h}}
}

// record goes by the record's key, as erase must: two ways to name a person
// would leave the one that is not erased.
func (d *Directory) record(e recorded, c topology.Cause) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.people[c.Key] = person{name: e.Name, email: e.Email}
}

func (d *Directory) erase(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.people[key] = person{erased: true}
}

func (d *Directory) find(tenant, customer string) (person, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	p, ok := d.people[tenant+"/"+customer]
	return p, ok
}
