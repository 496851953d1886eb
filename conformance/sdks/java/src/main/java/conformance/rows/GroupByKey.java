package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;

/** GroupByKey: the seconds of each word. */
public final class GroupByKey implements Driver.Row {
  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(ParDo.of(new Lines.Said()))
        .apply(org.apache.beam.sdk.transforms.GroupByKey.create())
        .apply(MapElements.into(TypeDescriptors.strings()).via(group -> group.getKey() + ": " + Lines.joined(group.getValue())));
  }
}
