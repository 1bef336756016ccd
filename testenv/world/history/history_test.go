package history

import (
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/small anew")

const small = "testdata/small"

func TestSmallFolderIsWhatGenerateMakes(t *testing.T) {
	dir := t.TempDir()
	if *rewrite {
		dir = small
	}
	if err := Generate(dir, 1, len(fates)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{ordersFile, itemsFile, paymentsFile, customersFile} {
		if got, want := file(t, filepath.Join(dir, name)), file(t, filepath.Join(small, name)); got != want {
			t.Errorf("%s differs: run the test with -rewrite", name)
		}
	}
}

func file(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestGeneratedHistoryHasEveryFate(t *testing.T) {
	orders, err := Read(small)
	if err != nil {
		t.Fatal(err)
	}
	c := Count(orders)
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("no order shows %s", v.Type().Field(i).Name)
		}
	}
	if c.Placed+c.Rejected != c.Orders || c.Voided+c.Refunded != c.Cancelled {
		t.Errorf("%+v does not add up", c)
	}
}

// TestRealHistory compares with what stands beside the data set.
func TestRealHistory(t *testing.T) {
	dir := os.Getenv("TROUPE_OLIST")
	if dir == "" {
		t.Skip("TROUPE_OLIST names no folder of the Olist data set")
	}
	orders, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := Counts{
		Orders: 2944, Rejected: 23, Placed: 2921, OrdersDispatched: 2903, ShipmentsDispatched: 2946, OrdersSplit: 40,
		OrdersDelivered: 2866, DeliveryLate: 237, VerdictLate: 14, ShippedNotReleased: 41, PaidOtherwise: 7, OrdersMixedTenders: 67,
		Cancelled: 8, Voided: 6, Refunded: 2, CancellationsRefused: 3, TendersMoney: 47425162, DispatchedMoney: 47199440, RefundedMoney: 26721,
		Tenders: map[string]int{"boleto": 593, "credit_card": 2265, "debit_card": 38, "voucher": 140},
	}
	if diff := cmp.Diff(want, Count(orders)); diff != "" {
		t.Error(diff)
	}
}

// TestOrderOfRowsAndColumnsIsOfNoMatter shuffles both.
func TestOrderOfRowsAndColumnsIsOfNoMatter(t *testing.T) {
	want, err := Read(small)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		dir := t.TempDir()
		for _, name := range []string{ordersFile, itemsFile, paymentsFile, customersFile} {
			lines := strings.Split(strings.TrimSpace(file(t, filepath.Join(small, name))), "\n")
			columns := rnd.Perm(len(strings.Split(lines[0], ",")))
			for i, line := range lines {
				fields := strings.Split(line, ",")
				moved := []string{"extra"}
				for _, c := range columns {
					moved = append(moved, fields[c])
				}
				lines[i] = strings.Join(moved, ",")
			}
			rnd.Shuffle(len(lines)-1, func(i, j int) { lines[i+1], lines[j+1] = lines[j+1], lines[i+1] })
			put(t, dir, name, "\ufeff"+strings.Join(lines, "\r\n"))
		}
		got, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestWhatCannotBeReadIsNamed changes one thing in the small folder.
func TestWhatCannotBeReadIsNamed(t *testing.T) {
	for _, c := range []struct{ file, old, new, want string }{
		{ordersFile, "order_purchase_timestamp", "bought", ordersFile + ":1: order_purchase_timestamp: there is no such column"},
		{ordersFile, "order_id", "oid", ordersFile + ":1: order_id: there is no such column"},
		{ordersFile, "3/3/2025", "33/3/2025", ordersFile + ":2: order_purchase_timestamp: \"33/3/2025"},
		{itemsFile, ",1,", ",one,", itemsFile + ":2: order_item_id: \"one\" is no number"},
		{itemsFile, ".", ".00", itemsFile + ":2: price: "},
		{itemsFile, ".", ".-", itemsFile + ":2: price: "},
		{paymentsFile, "credit_card", "", paymentsFile + ":2: payment_type: is empty"},
		{paymentsFile, ",credit_card", "", "wrong number of fields"},
		{paymentsFile, "\n", "\nnobody,1,credit_card,1.00\n", paymentsFile + ":2: order_id: " + ordersFile + " does not list this order"},
		{customersFile, "\n", "\n\"", customersFile},
	} {
		dir := t.TempDir()
		for _, name := range []string{ordersFile, itemsFile, paymentsFile, customersFile} {
			content := file(t, filepath.Join(small, name))
			if name == c.file {
				content = strings.Replace(content, c.old, c.new, 1)
			}
			put(t, dir, name, content)
		}
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q for %q: error %v, want %q in it", c.file, c.new, c.old, err, c.want)
		}
	}
	empty := t.TempDir()
	for dir, want := range map[string]string{empty: "lacks " + customersFile + ", " + ordersFile, filepath.Join(empty, "x"): "no folder of history"} {
		if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, want)
		}
	}
}

func TestNothingHappensBeforeThePurchase(t *testing.T) {
	orders, err := Read(small)
	if err != nil {
		t.Fatal(err)
	}
	clamped := 0
	for _, o := range orders {
		for _, at := range []time.Time{o.Approved, o.Carrier, o.Delivered} {
			if !at.IsZero() && at.Before(o.Purchased) {
				t.Errorf("order %s: %v is before %v", o.ID, at, o.Purchased)
			}
			if at.Equal(o.Purchased) {
				clamped++
			}
		}
	}
	if clamped == 0 {
		t.Error("no order left before it was bought")
	}
}
