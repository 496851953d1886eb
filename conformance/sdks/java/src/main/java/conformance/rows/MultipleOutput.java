package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.PCollectionTuple;
import org.apache.beam.sdk.values.TupleTag;
import org.apache.beam.sdk.values.TupleTagList;
import org.apache.beam.sdk.values.TypeDescriptors;
import org.joda.time.Instant;

/** ParDo with several outputs: short words, long ones, questions. */
public final class MultipleOutput implements Driver.Row {
  private static final TupleTag<String> SHORT = new TupleTag<String>() {};
  private static final TupleTag<String> LONG = new TupleTag<String>() {};
  private static final TupleTag<String> QUESTION = new TupleTag<String>() {};

  private static final class Sort extends DoFn<String, String> {
    @ProcessElement
    public void process(@Element String line, @Timestamp Instant stamp, MultiOutputReceiver out) {
      Lines.words(line).forEach(word -> out.get(word.length() <= 3 ? SHORT : LONG).output(word));
      if (line.endsWith("?")) {
        out.get(QUESTION).output(String.valueOf(Lines.seconds(stamp)));
      }
    }
  }

  private static PCollection<String> named(String name, PCollection<String> part) {
    return part.apply(name, MapElements.into(TypeDescriptors.strings()).via(text -> name + " " + text));
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollectionTuple parts =
        Lines.of(pipeline, task).apply(ParDo.of(new Sort()).withOutputTags(SHORT, TupleTagList.of(LONG).and(QUESTION)));
    return PCollectionList.of(named("short", parts.get(SHORT)))
        .and(named("long", parts.get(LONG)))
        .and(named("question", parts.get(QUESTION)))
        .apply(Flatten.pCollections());
  }
}
