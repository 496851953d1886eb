package conformance;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;

/** One row in one mode: where its input is, and where its output belongs. */
public final class Task {
  public final String row;
  public final String mode;
  public final String endpoint;
  public final String input;
  public final String output;
  /** Further options of the pipeline. */
  public final List<String> flags = new ArrayList<>();

  private final JsonNode options;

  Task(JsonNode request) {
    row = request.path("row").asText();
    mode = request.path("mode").asText();
    endpoint = request.path("endpoint").asText();
    input = request.path("input").asText();
    output = request.path("output").asText();
    options = request.path("options");
    options.path("flags").forEach(flag -> flags.add(flag.asText()));
  }

  public boolean streaming() {
    return mode.equals("streaming");
  }

  public String option(String name) {
    return options.path(name).asText();
  }
}
