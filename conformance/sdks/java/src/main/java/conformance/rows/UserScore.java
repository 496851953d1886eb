package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Sum;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;

/** The mobile game, first part: the sum of every user's scores. */
public final class UserScore implements Driver.Row {
  /** (user, score) of a play, which is one line: user, team, score, time in milliseconds. */
  static final class ByUser extends DoFn<String, KV<String, Integer>> {
    @ProcessElement
    public void process(@Element String line, OutputReceiver<KV<String, Integer>> out) {
      String[] parts = line.split(",");
      out.output(KV.of(parts[0], Integer.parseInt(parts[2])));
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    return Lines.of(pipeline, task)
        .apply(ParDo.of(new ByUser()))
        .apply(Sum.integersPerKey())
        .apply(MapElements.into(TypeDescriptors.strings()).via(score -> score.getKey() + " " + score.getValue()));
  }
}
