package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Flatten: the words of the first minute and those of the others, together again. */
public final class Flatten implements Driver.Row {
  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<KV<String, Integer>> pairs = Lines.of(pipeline, task).apply(ParDo.of(new Lines.Said()));
    PCollection<String> early =
        pairs
            .apply("early", Filter.by(said -> said.getValue() < Lines.MINUTE))
            .apply("tell early", MapElements.into(TypeDescriptors.strings()).via(said -> "early " + said.getKey()));
    PCollection<String> late =
        pairs
            .apply("late", Filter.by(said -> said.getValue() >= Lines.MINUTE))
            .apply("tell late", MapElements.into(TypeDescriptors.strings()).via(said -> "late " + said.getKey()));
    return PCollectionList.of(early).and(late).apply(org.apache.beam.sdk.transforms.Flatten.pCollections());
  }
}
