package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Combine;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Combine of keys that have values in more than one bundle: what lifting is for. */
public final class CombineLifted implements Driver.Row {
  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.inTwo(Lines.of(pipeline, task).apply(ParDo.of(new Lines.Said())))
        .apply(Combine.perKey(new CombineFirstClass.Mean()))
        .apply(MapElements.into(TypeDescriptors.strings()).via(mean -> mean.getKey() + " " + mean.getValue()));
  }
}
