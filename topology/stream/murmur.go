package stream

import "strconv"

// partitionOf is where Kafka's Java client, and every producer that is set to
// murmur2, puts a key: the low 31 bits of murmur2 modulo the partitions. Keys
// that lie elsewhere were written by a producer with another partitioner
// (librdkafka defaults to CRC32, Sarama to FNV), and their rows would be split.
func partitionOf(key []byte, partitions int32) int32 {
	return int32(murmur2(key)&0x7fffffff) % partitions
}

// partitionKey is the key of what is about a partition and about no single key:
// the first of partition/0, partition/1, … that falls into it.
func partitionKey(partition, partitions int32) string {
	for n := 0; ; n++ {
		if key := "partition/" + strconv.Itoa(n); partition >= partitions || partitionOf([]byte(key), partitions) == partition {
			return key
		}
	}
}

// murmur2 as in org.apache.kafka.common.utils.Utils.
func murmur2(b []byte) uint32 {
	const (
		seed uint32 = 0x9747b28c
		m    uint32 = 0x5bd1e995
		r           = 24
	)
	h := seed ^ uint32(len(b))
	for len(b) >= 4 {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		b = b[4:]
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
