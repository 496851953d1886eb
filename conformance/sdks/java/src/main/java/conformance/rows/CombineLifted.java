package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Combine;
import org.apache.beam.sdk.transforms.Filter;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Combine behind a Flatten, so that several bundles have values of one key: what lifting is for. */
public final class CombineLifted implements Driver.Row {
  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<KV<String, Integer>> pairs = Lines.of(pipeline, task).apply(ParDo.of(new Lines.Said()));
    return PCollectionList.of(pairs.apply("early", Filter.by(said -> said.getValue() < Lines.MINUTE)))
        .and(pairs.apply("late", Filter.by(said -> said.getValue() >= Lines.MINUTE)))
        .apply(Flatten.pCollections())
        .apply(Combine.perKey(new CombineFirstClass.Mean()))
        .apply(MapElements.into(TypeDescriptors.strings()).via(mean -> mean.getKey() + " " + mean.getValue()));
  }
}
