package conformance.rows;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import java.io.IOException;
import java.io.Serializable;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Nexmark, query 1: bids in another currency, at 89 cents. */
public final class NexmarkQ1 implements Driver.Row {
  /** A person, an auction or a bid; each kind has some of the fields. */
  static final class Event implements Serializable {
    final int id;
    final String name;
    final int seller;
    final int auction;
    final int bidder;
    final int price;
    final long time;

    Event(JsonNode node) {
      id = node.path("id").asInt();
      name = node.path("name").asText();
      seller = node.path("seller").asInt();
      auction = node.path("auction").asInt();
      bidder = node.path("bidder").asInt();
      price = node.path("price").asInt();
      time = node.path("t").asLong();
    }

    @Override
    public String toString() {
      return auction + " " + bidder + " " + price + " " + time;
    }
  }

  /** The events of one kind. */
  static final class OfKind extends DoFn<String, Event> {
    private static final ObjectMapper JSON = new ObjectMapper();
    private final String kind;

    OfKind(String kind) {
      this.kind = kind;
    }

    @ProcessElement
    public void process(@Element String line, OutputReceiver<Event> out) throws IOException {
      JsonNode node = JSON.readTree(line);
      if (node.path("kind").asText().equals(kind)) {
        out.output(new Event(node));
      }
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(ParDo.of(new OfKind("bid")))
        .apply(
            MapElements.into(TypeDescriptors.strings())
                .via(bid -> bid.auction + " " + bid.bidder + " " + bid.price * 89 / 100 + " " + bid.time));
  }
}
