package conformance;

import java.io.File;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import org.junit.Ignore;
import org.junit.Test;
import org.junit.experimental.categories.Category;
import org.junit.runner.JUnitCore;
import org.junit.runner.Request;
import org.junit.runner.Result;

/**
 * Runs the tests of Beam's core that are in the category ValidatesRunner, each by itself, several at a time.
 *
 * <p>The runner under test is named as in Beam's own builds, by the system property {@code beamTestPipelineOptions}. One line of
 * tab-separated fields a test goes to standard output: {@code result}, the verdict (PASS, FAIL, SKIP or TIMEOUT), class, method,
 * seconds, categories, and the first line of what went wrong.
 *
 * <p>Arguments: the jar of tests, tests at a time, seconds for each, and a regular expression that class#method has to contain.
 */
public final class ValidatesRunner {
  /** Classes that keep what their tests saw in static fields: one test of them at a time. */
  private static final Set<String> ALONE =
      new HashSet<>(Arrays.asList("ParDoLifecycleTest", "ParDoTest$BundleFinalizationTests", "SplittableDoFnTest", "PAssertTest"));

  private ValidatesRunner() {}

  public static void main(String[] arguments) throws Exception {
    PrintStream out = System.out;
    System.setOut(System.err);
    int together = Integer.parseInt(arguments[1]);
    long millis = (long) (Double.parseDouble(arguments[2]) * 1000);
    Deque<Case> waiting = new ArrayDeque<>(find(new File(arguments[0]), arguments[3]));
    Set<String> busy = new HashSet<>();
    CountDownLatch done = new CountDownLatch(together);
    for (int number = 0; number < together; number++) {
      Thread thread =
          new Thread(
              () -> {
                for (Case next = take(waiting, busy); next != null; next = take(waiting, busy)) {
                  String line = next.run(millis);
                  synchronized (busy) {
                    out.println(line);
                    busy.remove(next.lock());
                    busy.notifyAll();
                  }
                }
                done.countDown();
              });
      thread.setDaemon(true);
      thread.start();
    }
    done.await();
    out.flush();
    Runtime.getRuntime().halt(0); // tests that ran out of time still run
  }

  private static Case take(Deque<Case> waiting, Set<String> busy) {
    synchronized (busy) {
      while (!waiting.isEmpty()) {
        for (Case each : waiting) {
          if (each.lock().isEmpty() || busy.add(each.lock())) {
            waiting.remove(each);
            return each;
          }
        }
        try {
          busy.wait();
        } catch (InterruptedException e) {
          return null;
        }
      }
      return null;
    }
  }

  private static List<Case> find(File jar, String pattern) throws Exception {
    Map<String, Case> found = new TreeMap<>();
    try (JarFile file = new JarFile(jar)) {
      for (JarEntry entry : Collections.list(file.entries())) {
        if (entry.getName().endsWith(".class")) {
          String name = entry.getName().replaceAll("\\.class$", "").replace('/', '.');
          for (Case each : casesOf(name)) {
            if (java.util.regex.Pattern.compile(pattern).matcher(each.name() + "#" + each.method).find()) {
              found.put(each.name() + "#" + each.method, each);
            }
          }
        }
      }
    }
    List<Case> cases = new ArrayList<>(found.values());
    Collections.shuffle(cases, new java.util.Random(0)); // so that a class that runs alone does not come last
    return cases;
  }

  private static List<Case> casesOf(String name) {
    try {
      Class<?> type = Class.forName(name, false, ValidatesRunner.class.getClassLoader());
      if (Modifier.isAbstract(type.getModifiers())) {
        return List.of();
      }
      List<Case> cases = new ArrayList<>();
      for (Method method : type.getMethods()) {
        Set<String> categories = new HashSet<>(categories(method.getAnnotation(Category.class)));
        categories.addAll(categories(type.getAnnotation(Category.class)));
        if (method.isAnnotationPresent(Test.class) && categories.contains("ValidatesRunner")) {
          boolean ignored = method.isAnnotationPresent(Ignore.class) || type.isAnnotationPresent(Ignore.class);
          cases.add(new Case(type, method.getName(), categories, ignored));
        }
      }
      return cases;
    } catch (LinkageError | ReflectiveOperationException e) {
      return List.of(); // a class that needs more than Beam's core has no such tests
    }
  }

  private static Set<String> categories(Category category) {
    return category == null
        ? Set.of()
        : Arrays.stream(category.value()).map(Class::getSimpleName).collect(Collectors.toSet());
  }

  private static final class Case {
    final Class<?> type;
    final String method;
    final Set<String> categories;
    final boolean ignored;

    Case(Class<?> type, String method, Set<String> categories, boolean ignored) {
      this.type = type;
      this.method = method;
      this.categories = categories;
      this.ignored = ignored;
    }

    String name() {
      return type.getName().substring(type.getName().lastIndexOf('.') + 1);
    }

    String lock() {
      return ALONE.contains(name()) ? name() : "";
    }

    String run(long millis) {
      if (ignored) {
        return line("SKIP", 0, "@Ignore");
      }
      Result[] result = new Result[1];
      Thread thread = new Thread(() -> result[0] = new JUnitCore().run(Request.method(type, method)));
      thread.setDaemon(true);
      long started = System.nanoTime();
      thread.start();
      try {
        thread.join(millis);
      } catch (InterruptedException e) {
        throw new IllegalStateException(e);
      }
      long took = (System.nanoTime() - started) / 1_000_000;
      if (result[0] == null) {
        thread.interrupt();
        return line("TIMEOUT", took, "");
      }
      if (!result[0].wasSuccessful()) {
        return line("FAIL", took, reason(result[0].getFailures().get(0).getException()));
      }
      boolean ran = result[0].getRunCount() > 0 && result[0].getAssumptionFailureCount() == 0;
      return line(ran ? "PASS" : "SKIP", took, "");
    }

    private String reason(Throwable error) {
      StringBuilder text = new StringBuilder();
      for (Throwable each = error; each != null; each = each.getCause()) {
        text.append(each).append(" | ");
      }
      return text.substring(0, Math.min(text.length(), 3000));
    }

    private String line(String verdict, long millis, String why) {
      String kinds = categories.stream().sorted().collect(Collectors.joining(","));
      String text = why.replaceAll("\\s+", " ");
      return String.join("\t", "result", verdict, name(), method, millis / 1000.0 + "", kinds, text);
    }
  }
}
