package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.Max;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Sum;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Combine: sums by key, and one maximum of all. */
public final class Combine implements Driver.Row {
  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<KV<String, Integer>> pairs = Lines.of(pipeline, task).apply(ParDo.of(new Lines.Said()));
    PCollection<String> counts =
        pairs
            .apply(
                "ones",
                MapElements.into(TypeDescriptors.kvs(TypeDescriptors.strings(), TypeDescriptors.integers()))
                    .via(said -> KV.of(said.getKey(), 1)))
            .apply(Sum.integersPerKey())
            .apply("tell", MapElements.into(TypeDescriptors.strings()).via(count -> count.getKey() + " " + count.getValue()));
    PCollection<String> longest =
        pairs
            .apply("lengths", MapElements.into(TypeDescriptors.integers()).via(said -> said.getKey().length()))
            .apply(org.apache.beam.sdk.transforms.Combine.globally(Max.ofIntegers()).withoutDefaults())
            .apply("tell longest", MapElements.into(TypeDescriptors.strings()).via(length -> "longest " + length));
    return PCollectionList.of(counts).and(longest).apply(Flatten.pCollections());
  }
}
