import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The peer: shipments and invoices joined per order on Kafka Streams, exactly once. It keeps two
 * sums a side and forwards an order whose sums differ; it neither recognises a repeat nor knows of
 * lines, times or grace, so it does less for a record than what it is measured against.
 *
 * Arguments: brokers, prefix of the topics, records, threads, disk|memory, commit interval in ms,
 * record cache in MiB, the schemas that ShipmentDispatched and InvoiceIssued were written with, a
 * state directory. It says the records a second between the first record and the last.
 */
public class StreamsJoin {
  static final AtomicLong seen = new AtomicLong(), differ = new AtomicLong();

  /** What the join reads of either event; the reader skips the rest without making it. */
  static Schema projection(Schema writer, String line) {
    return new Schema.Parser().parse(
        "{\"type\":\"record\",\"name\":\"" + writer.getName() + "\",\"namespace\":\"" + writer.getNamespace() + "\",\"fields\":["
            + "{\"name\":\"lines\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"" + line + "\",\"fields\":["
            + "{\"name\":\"quantity\",\"type\":\"int\"},{\"name\":\"net\",\"type\":\"long\"}]}}}]}");
  }

  static class Join implements Processor<String, byte[], String, byte[]> {
    final boolean shipments;
    final GenericDatumReader<GenericRecord> reader;
    ProcessorContext<String, byte[]> context;
    KeyValueStore<String, byte[]> store;
    BinaryDecoder decoder;
    GenericRecord event;

    Join(boolean shipments, Schema writer, Schema projection) {
      this.shipments = shipments;
      this.reader = new GenericDatumReader<>(writer, projection);
    }

    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      this.store = context.getStateStore("orders");
    }

    public void process(Record<String, byte[]> r) {
      byte[] value = r.value();
      try {
        decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, decoder); // behind the frame
        event = reader.read(event, decoder);
      } catch (IOException e) {
        throw new RuntimeException(e);
      }
      long net = 0;
      int quantity = 0;
      for (Object o : (List<?>) event.get(0)) {
        GenericRecord line = (GenericRecord) o;
        quantity += (Integer) line.get(0);
        net += (Long) line.get(1);
      }
      ByteBuffer row = ByteBuffer.allocate(24);
      byte[] had = store.get(r.key());
      if (had != null) row.put(had);
      long shippedNet = row.getLong(0), billedNet = row.getLong(8);
      int shipped = row.getInt(16), billed = row.getInt(20);
      if (shipments) {
        shippedNet += net;
        shipped += quantity;
      } else {
        billedNet += net;
        billed += quantity;
      }
      row.putLong(0, shippedNet).putLong(8, billedNet).putInt(16, shipped).putInt(20, billed);
      store.put(r.key(), row.array());
      if (shipped != 0 && billed != 0 && (shippedNet != billedNet || shipped != billed)) {
        differ.incrementAndGet();
        context.forward(r.withValue(row.array()));
      }
      seen.incrementAndGet();
    }
  }

  public static void main(String[] args) throws Exception {
    String brokers = args[0], prefix = args[1], store = args[4];
    long records = Long.parseLong(args[2]);
    Properties p = new Properties();
    p.put(StreamsConfig.APPLICATION_ID_CONFIG, prefix + "streams-" + System.nanoTime());
    p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
    p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, args[3]);
    p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, args[5]);
    p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, Long.parseLong(args[6]) << 20);
    p.put(StreamsConfig.STATE_DIR_CONFIG, args[9]);
    p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
    p.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 8 << 20);
    p.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 1 << 20);
    p.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 128L << 20);

    Schema shipment = new Schema.Parser().parse(Files.readString(Path.of(args[7])));
    Schema invoice = new Schema.Parser().parse(Files.readString(Path.of(args[8])));
    Schema ofShipment = projection(shipment, "ShipmentLine"), ofInvoice = projection(invoice, "InvoiceLine");
    Topology t = new Topology();
    t.addSource("shipments", new StringDeserializer(), new ByteArrayDeserializer(), prefix + "shipments");
    t.addSource("invoices", new StringDeserializer(), new ByteArrayDeserializer(), prefix + "invoices");
    t.addProcessor("join shipments", () -> new Join(true, shipment, ofShipment), "shipments");
    t.addProcessor("join invoices", () -> new Join(false, invoice, ofInvoice), "invoices");
    KeyValueBytesStoreSupplier rows =
        store.equals("memory") ? Stores.inMemoryKeyValueStore("orders") : Stores.persistentKeyValueStore("orders");
    t.addStateStore(
        Stores.keyValueStoreBuilder(rows, Serdes.String(), Serdes.ByteArray()).withCachingEnabled(), "join shipments", "join invoices");
    t.addSink("differ", prefix + "streams.differ", new StringSerializer(), new ByteArraySerializer(), "join shipments", "join invoices");

    KafkaStreams streams = new KafkaStreams(t, p);
    streams.start();
    while (seen.get() == 0) Thread.sleep(1);
    long began = System.nanoTime(), before = seen.get();
    while (seen.get() < records) Thread.sleep(1);
    double seconds = (System.nanoTime() - began) / 1e9;
    streams.close(Duration.ofSeconds(30)); // the last commit, which is not counted
    System.out.printf("result %.0f %d%n", (records - before) / seconds, differ.get());
  }
}
