// Package inventory promises stock to orders and takes it back.
//
//	in   OrderPlaced, ShipmentPlanned, ShipmentDispatched; ReleaseReservation (the
//	     process manager's); AdjustStock (the warehouse's counts, through an intake)
//	out  InventoryAllocated, InventoryBackordered, ReservationReleased,
//	     ReservationConsumed, ReservationExpired; StockReserved, StockShort,
//	     StockAdjusted
//
// Two co-partition sets: allocations keyed by order, stock keyed by SKU. An
// order asks each SKU it needs by a message to inventory.stock.inbox and
// gathers the answers from inventory.inbox.
//
// Invariants: what is reserved never exceeds what is on hand, unless a count
// says less than was promised; a reservation is held once and then consumed,
// released or expired once; an order that was cancelled keeps nothing, however
// late a grant arrives; an adjustment counts once, however late it is repeated (of one
// so old that nobody can say, a person is told).
//
// A SKU's row holds 4,000 open reservations: an order more is a dead letter, to be
// retried when some have left.
package inventory
