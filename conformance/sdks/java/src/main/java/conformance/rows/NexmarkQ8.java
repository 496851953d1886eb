package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.join.CoGbkResult;
import org.apache.beam.sdk.transforms.join.CoGroupByKey;
import org.apache.beam.sdk.transforms.join.KeyedPCollectionTuple;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TupleTag;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Nexmark, query 8: who opened auctions in the same ten seconds in which they came, joined by CoGroupByKey. */
public final class NexmarkQ8 implements Driver.Row {
  private static final TupleTag<String> NAMES = new TupleTag<>("names");
  private static final TupleTag<Integer> AUCTIONS = new TupleTag<>("auctions");

  private static final class Tell extends DoFn<KV<Integer, CoGbkResult>, String> {
    @ProcessElement
    public void process(@Element KV<Integer, CoGbkResult> person, OutputReceiver<String> out) {
      int opened = 0;
      for (Integer ignored : person.getValue().getAll(AUCTIONS)) {
        opened++;
      }
      for (String name : person.getValue().getAll(NAMES)) {
        if (opened > 0) {
          out.output(person.getKey() + " " + name + " " + opened);
        }
      }
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<String> events = Lines.of(pipeline, task).apply(NexmarkQ7.tenSeconds());
    PCollection<KV<Integer, String>> names =
        events
            .apply("persons", ParDo.of(new NexmarkQ1.OfKind("person")))
            .apply(
                "by id",
                MapElements.into(TypeDescriptors.kvs(TypeDescriptors.integers(), TypeDescriptors.strings()))
                    .via(each -> KV.of(each.id, each.name)));
    PCollection<KV<Integer, Integer>> auctions =
        events
            .apply("auctions", ParDo.of(new NexmarkQ1.OfKind("auction")))
            .apply(
                "by seller",
                MapElements.into(TypeDescriptors.kvs(TypeDescriptors.integers(), TypeDescriptors.integers()))
                    .via(each -> KV.of(each.seller, each.id)));
    return KeyedPCollectionTuple.of(NAMES, names).and(AUCTIONS, auctions).apply(CoGroupByKey.create()).apply(ParDo.of(new Tell()));
  }
}
