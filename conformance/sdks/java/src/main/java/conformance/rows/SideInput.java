package conformance.rows;

import conformance.Driver;
import conformance.Lines;
import conformance.Task;
import java.util.Map;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.View;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionView;
import org.joda.time.Instant;

/** ParDo with side inputs: the words of the same minute, as an iterable and as a multimap. */
public final class SideInput implements Driver.Row {
  private static final class Compare extends DoFn<String, String> {
    private final PCollectionView<Iterable<KV<String, Integer>>> everything;
    private final PCollectionView<Map<String, Iterable<Integer>>> byWord;

    Compare(PCollectionView<Iterable<KV<String, Integer>>> everything, PCollectionView<Map<String, Iterable<Integer>>> byWord) {
      this.everything = everything;
      this.byWord = byWord;
    }

    @ProcessElement
    public void process(ProcessContext context, @Timestamp Instant stamp) {
      int second = Lines.seconds(stamp);
      context.output(second + " * " + count(context.sideInput(everything)));
      Map<String, Iterable<Integer>> words = context.sideInput(byWord);
      Lines.words(context.element()).forEach(word -> context.output(second + " " + word + " " + count(words.get(word))));
    }

    private static int count(Iterable<?> values) {
      int count = 0;
      for (Object ignored : values) {
        count++;
      }
      return count;
    }
  }

  @Override
  public PCollection<String> build(Pipeline pipeline, Task task) {
    PCollection<String> main = Lines.of(pipeline, task).apply(Lines.perMinute());
    PCollection<KV<String, Integer>> side = main.apply(ParDo.of(new Lines.Said()));
    PCollectionView<Iterable<KV<String, Integer>>> everything = side.apply(View.asIterable());
    PCollectionView<Map<String, Iterable<Integer>>> byWord = side.apply(View.asMultimap());
    return main.apply(ParDo.of(new Compare(everything, byWord)).withSideInputs(everything, byWord));
  }
}
