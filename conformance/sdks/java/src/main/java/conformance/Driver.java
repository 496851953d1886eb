package conformance;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.stream.Collectors;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.metrics.DistributionResult;
import org.apache.beam.sdk.metrics.MetricNameFilter;
import org.apache.beam.sdk.metrics.MetricQueryResults;
import org.apache.beam.sdk.metrics.MetricResult;
import org.apache.beam.sdk.metrics.MetricsFilter;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.util.ReleaseInfo;
import org.apache.beam.sdk.values.PCollection;

/**
 * The driver of the Java SDK: reads tasks from standard input, a JSON object a line, runs each, and answers a JSON object a line.
 *
 * <p>The worker is this process (LOOPBACK). It ends when its standard input does, in the middle of a job too.
 */
public final class Driver {
  private static final ObjectMapper JSON = new ObjectMapper();
  /** The client's own wait asks for the state every 3 s, which would be most of the time of a row. */
  private static final long ASK_EVERY_MS = 50;

  /** A row builds its pipeline and answers the lines to observe, or null where it writes files of its own. */
  public interface Row {
    PCollection<String> build(Pipeline pipeline, Task task);
  }

  private static Row row(String name) throws ReflectiveOperationException {
    String type = Arrays.stream(name.split("_")).map(part -> part.substring(0, 1).toUpperCase() + part.substring(1)).collect(Collectors.joining());
    return (Row) Class.forName("conformance.rows." + type).getDeclaredConstructor().newInstance();
  }

  private static PipelineOptions options(Task task, Path nothing) {
    String[] flags = {
      "--runner=PortableRunner",
      "--jobEndpoint=" + task.endpoint,
      "--defaultEnvironmentType=LOOPBACK",
      // The worker is this process: its class path need not be staged.
      "--filesToStage=" + nothing,
      "--jobName=" + task.row.replace('_', '-') + "-" + task.mode,
      "--streaming=" + task.streaming(),
    };
    String[] more = task.flags.toArray(new String[0]);
    String[] all = Arrays.copyOf(flags, flags.length + more.length);
    System.arraycopy(more, 0, all, flags.length, more.length);
    return PipelineOptionsFactory.fromArgs(all).create();
  }

  private static PipelineResult.State ended(PipelineResult result) throws InterruptedException {
    PipelineResult.State state = result.getState();
    while (!state.isTerminal()) {
      Thread.sleep(ASK_EVERY_MS);
      state = result.getState();
    }
    return state;
  }

  private static void run(Task task, Path nothing, ObjectNode answer) throws Exception {
    Pipeline pipeline = Pipeline.create(options(task, nothing));
    PCollection<String> lines = row(task.row).build(pipeline, task);
    if (lines != null) {
      Lines.observe(lines, task);
    }
    PipelineResult result = pipeline.run();
    PipelineResult.State state = ended(result);
    answer.put("state", state.name());
    ObjectNode metrics = answer.putObject("metrics");
    if (state == PipelineResult.State.DONE) {
      // Also closes the worker pool of this job; the state is known, so that nothing is waited for.
      result.waitUntilFinish();
      tell(result, metrics);
    }
  }

  /** The user's metrics by name, committed where the runner told them, else attempted. */
  private static void tell(PipelineResult result, ObjectNode metrics) {
    MetricQueryResults found =
        result.metrics().queryMetrics(MetricsFilter.builder().addNameFilter(MetricNameFilter.inNamespace("conformance")).build());
    for (MetricResult<Long> counter : found.getCounters()) {
      metrics.put(counter.getName().getName(), value(counter));
    }
    for (MetricResult<DistributionResult> distribution : found.getDistributions()) {
      DistributionResult of = value(distribution);
      metrics
          .putObject(distribution.getName().getName())
          .put("count", of.getCount())
          .put("sum", of.getSum())
          .put("min", of.getMin())
          .put("max", of.getMax());
    }
  }

  private static <T> T value(MetricResult<T> metric) {
    T committed = metric.getCommittedOrNull();
    return committed != null ? committed : metric.getAttempted();
  }

  private static String told(Throwable error) {
    StringBuilder text = new StringBuilder(error.toString());
    for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
      text.append("\ncaused by ").append(cause);
    }
    return text.toString();
  }

  private static ObjectNode answer(JsonNode request, Path nothing) {
    ObjectNode answer = JSON.createObjectNode().put("id", request.get("id").asInt()).put("state", "FAILED").put("error", "");
    answer.putObject("metrics");
    try {
      run(new Task(request), nothing, answer);
    } catch (Throwable error) { // whatever goes wrong is the answer
      answer.put("state", "FAILED").put("error", told(error));
    }
    return answer;
  }

  public static void main(String[] args) throws Exception {
    PrintStream answers = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8");
    System.setOut(System.err); // what libraries print is no answer
    Path nothing = Files.createTempFile("nothing", "");
    nothing.toFile().deleteOnExit();
    Files.write(nothing, Collections.singleton("nothing to stage"));
    BlockingQueue<String> requests = new LinkedBlockingQueue<>();
    Thread reader = new Thread(() -> read(requests));
    reader.setDaemon(true);
    reader.start();
    answers.println(JSON.createObjectNode().put("ready", ReleaseInfo.getReleaseInfo().getVersion()));
    while (true) {
      answers.println(JSON.writeValueAsString(answer(JSON.readTree(requests.take()), nothing)));
    }
  }

  private static void read(BlockingQueue<String> requests) {
    try (BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        requests.add(line);
      }
    } catch (IOException error) {
      System.err.println(error);
    }
    Runtime.getRuntime().halt(0);
  }
}
