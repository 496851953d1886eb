package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.values.PCollection;

/** WordCount from a text file into a text file, by the SDK's own source and sink. In streaming mode the lines come from the unbounded source, in one window that ends: such a sink writes by windows. */
public final class WordCountFile implements Driver.Row {
  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<String> read =
        task.streaming() ? Lines.of(pipeline, task) : pipeline.apply(TextIO.read().from(task.option("text")));
    TextIO.Write write = TextIO.write().to(task.output + "/counts").withSuffix(".txt").withNumShards(2);
    WordCount.counts(read).apply(task.streaming() ? write.withWindowedWrites() : write);
    return null;
  }
}
