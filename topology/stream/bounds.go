package stream

import (
	"troupe/topology"
	"troupe/topology/table"
)

// Bounds are the runtime's limits that are not for setting: they are of what lies on disk or
// on a topic, or of what is said, and hold whatever the load.
func Bounds() []topology.Bound {
	return []topology.Bound{
		topology.AtMost("quarantined", maxSuspects, "of what was run when the process ended: outcomes that are buried are forgotten first, then what was met least often"),
		topology.AtMost("dead-letter-detail-bytes", maxDetail, "what is said of the cause is cut; of a source that is too large its value, headers, key are left out in turn, and the letter says which"),
		topology.AtMost("parked-reason-bytes", maxWhy, "why an input waits is cut"),
		topology.AtMost("spare-rows", maxSpareRows, "a row that is done with is left to the collector"),
		topology.AtMost("view-rows-expired", expireMost, "the rest of a view's old rows go after the next poll"),
		topology.AtMost("rows-told", maxDiffering, "state verify names no more keys of a task that differ"),
		topology.AtMost("row-told-bytes", maxTold, "state rebuild cuts what it shows of a row"),
		topology.AtMost("loose-tables", table.MostLoose, "a checkpoint waits for the disk to merge what lies on top of each other"),
		topology.AtMost("loose-tables-wait", table.LongestStall, "it waits no longer: reads are slower, and right"),
		topology.AtMost("disk-reserve-bytes", table.Reserve, "with less room left on the disk no checkpoint is written: the session ends, and is built anew until there is more"),
	}
}
