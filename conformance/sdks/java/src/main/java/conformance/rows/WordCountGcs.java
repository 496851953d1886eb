package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.extensions.gcp.auth.NoopCredentialFactory;
import org.apache.beam.sdk.extensions.gcp.options.GcpOptions;
import org.apache.beam.sdk.extensions.gcp.options.GcsOptions;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.io.TextIO;
import org.apache.beam.sdk.values.PCollection;

/** WordCount written to Google Cloud Storage by the SDK's own connector; the emulator's address is an option. */
public final class WordCountGcs implements Driver.Row {
  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    GcsOptions options = pipeline.getOptions().as(GcsOptions.class);
    options.setGcsEndpoint(task.option("gcs") + "/storage/v1/");
    options.as(GcpOptions.class).setCredentialFactoryClass(NoopCredentialFactory.class);
    FileSystems.setDefaultPipelineOptions(options);
    TextIO.Write write = TextIO.write().to(task.option("bucket") + "/counts").withSuffix(".txt").withNumShards(2);
    WordCount.counts(Lines.of(pipeline, task)).apply(task.streaming() ? write.withWindowedWrites() : write);
    return null;
  }
}
