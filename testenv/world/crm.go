package world

import (
	"net/http"
	"strings"
)

// serveCRM answers who a customer is.
func (w *World) serveCRM(rw http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if r.Method != http.MethodGet || len(parts) != 3 || parts[0] != "customers" {
		answer(rw, refusal{http.StatusNotFound, "there is only GET /customers/{tenant}/{id}"})
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	c, ok := w.customers[parts[1]+"/"+parts[2]]
	if !ok {
		answer(rw, refusal{http.StatusNotFound, "no such customer"})
		return
	}
	tier := "standard"
	if draw("tier", c.CustomerID)%10 == 0 {
		tier = "gold"
	}
	answer(rw, map[string]any{"customerId": c.CustomerID, "name": c.Name, "tier": tier})
}
