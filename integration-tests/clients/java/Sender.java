import io.pyroscope.http.Format;
import io.pyroscope.javaagent.EventType;
import io.pyroscope.javaagent.PyroscopeAgent;
import io.pyroscope.javaagent.config.Config;
import java.time.Duration;
import java.util.Map;

/**
 * Spins, allocates and contends under the public Java agent, which pushes CPU, allocation and lock profiles as JFR to a server:
 * {@code java -cp agent.jar Sender.java URL SECONDS}.
 */
public final class Sender {
    private static final Object LOCK = new Object();
    private static volatile byte[] last;

    static long javaSpinHere(long end) {
        long turns = 0;
        while (System.nanoTime() < end) turns += 1;
        return turns;
    }

    static void javaAllocatesHere(long end) throws InterruptedException {
        while (System.nanoTime() < end) {
            for (int i = 0; i < 200; i++) last = new byte[4096];
            Thread.sleep(5);
        }
    }

    static void javaWaitsHere(long end) throws InterruptedException {
        while (System.nanoTime() < end) {
            synchronized (LOCK) {
                Thread.sleep(20);
            }
        }
    }

    interface Work {
        void run() throws InterruptedException;
    }

    private static void start(Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    public static void main(String[] args) {
        // The interval timer needs no right to perf events.
        PyroscopeAgent.start(new Config.Builder()
            .setApplicationName("javabusy")
            .setServerAddress(args[0])
            .setFormat(Format.JFR)
            .setProfilingEvent(EventType.ITIMER)
            .setProfilingAlloc("64k")
            .setProfilingLock("1ms")
            .setUploadInterval(Duration.ofSeconds(1))
            .setLabels(Map.of("region", "eu"))
            .build());
        long end = System.nanoTime() + Long.parseLong(args[1]) * 1_000_000_000L;
        start(() -> javaAllocatesHere(end));
        for (int i = 0; i < 3; i++) start(() -> javaWaitsHere(end));
        System.out.println(javaSpinHere(end));
        System.exit(0);
    }
}
