package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.join.KeyedPCollectionTuple;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TupleTag;
import org.apache.beam.sdk.values.TypeDescriptors;

/** CoGroupByKey: the seconds of each word in questions and elsewhere, side by side. */
public final class CoGroupByKey implements Driver.Row {
  private static final TupleTag<Integer> ASKED = new TupleTag<>("asked");
  private static final TupleTag<Integer> TOLD = new TupleTag<>("told");

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<String> everything = Lines.of(pipeline, task);
    PCollection<KV<String, Integer>> asked =
        everything.apply("asked", Filter.by(line -> line.endsWith("?"))).apply("asked words", ParDo.of(new Lines.Said()));
    PCollection<KV<String, Integer>> told =
        everything.apply("told", Filter.by(line -> !line.endsWith("?"))).apply("told words", ParDo.of(new Lines.Said()));
    return KeyedPCollectionTuple.of(ASKED, asked)
        .and(TOLD, told)
        .apply(org.apache.beam.sdk.transforms.join.CoGroupByKey.create())
        .apply(
            MapElements.into(TypeDescriptors.strings())
                .via(
                    both ->
                        both.getKey()
                            + ": "
                            + Lines.joined(both.getValue().getAll(ASKED))
                            + " | "
                            + Lines.joined(both.getValue().getAll(TOLD))));
  }
}
