package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Count;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.IntervalWindow;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;
import org.joda.time.Duration;

/** Nexmark, query 11: each user's bids by session, with a gap of two seconds. */
public final class NexmarkQ11 implements Driver.Row {
  private static final class Tell extends DoFn<KV<Integer, Long>, String> {
    @ProcessElement
    public void process(@Element KV<Integer, Long> bids, BoundedWindow window, OutputReceiver<String> out) {
      IntervalWindow session = (IntervalWindow) window;
      out.output(bids.getKey() + " " + session.start().getMillis() + " " + session.end().getMillis() + " " + bids.getValue());
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(ParDo.of(new NexmarkQ1.OfKind("bid")))
        .apply(
            MapElements.into(TypeDescriptors.kvs(TypeDescriptors.integers(), TypeDescriptors.integers()))
                .via(bid -> KV.of(bid.bidder, bid.id)))
        .apply(
            Window.<KV<Integer, Integer>>into(
                org.apache.beam.sdk.transforms.windowing.Sessions.withGapDuration(Duration.standardSeconds(2))))
        .apply(Count.perKey())
        .apply(ParDo.of(new Tell()));
  }
}
