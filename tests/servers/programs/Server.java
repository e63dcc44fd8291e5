// Servers of Java: Server.java MODE PORT CERTS. Modes: none, want, need, trusting (nobody looks), name (the CN).
import java.io.ByteArrayInputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

public class Server {
  static final byte[] PAGE = "hello from afar".getBytes(StandardCharsets.UTF_8);
  static final char[] PASSWORD = "afar".toCharArray();

  static Certificate certificate(Path file) throws Exception {
    return CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(Files.readAllBytes(file)));
  }

  static PrivateKey key(Path file) throws Exception {
    String base64 = Files.readString(file).replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
    PKCS8EncodedKeySpec spec = new PKCS8EncodedKeySpec(Base64.getDecoder().decode(base64));
    return KeyFactory.getInstance("EC").generatePrivate(spec);
  }

  /** A trust manager that a developer wrote: it believes everybody, or everybody whose name is right. */
  static TrustManager ownTrust(String mode) {
    return new X509TrustManager() {
      public void checkClientTrusted(X509Certificate[] chain, String how) throws CertificateException {
        if (mode.equals("name") && !chain[0].getSubjectX500Principal().getName().contains("CN=alice")) {
          throw new CertificateException("not alice");
        }
      }
      public void checkServerTrusted(X509Certificate[] chain, String how) {}
      public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
    };
  }

  static SSLContext context(String mode, Path certs) throws Exception {
    KeyStore own = KeyStore.getInstance("PKCS12");
    own.load(null, null);
    Certificate[] chain = {certificate(certs.resolve("server.crt"))};
    own.setKeyEntry("server", key(certs.resolve("server.key")), PASSWORD, chain);
    KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
    keys.init(own, PASSWORD);
    KeyStore anchors = KeyStore.getInstance("PKCS12");
    anchors.load(null, null);
    anchors.setCertificateEntry("clients", certificate(certs.resolve("client-ca.crt")));
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(anchors);
    boolean written = mode.equals("trusting") || mode.equals("name");
    TrustManager[] managers = written ? new TrustManager[] {ownTrust(mode)} : trust.getTrustManagers();
    SSLContext made = SSLContext.getInstance("TLS");
    made.init(keys.getKeyManagers(), managers, null);
    return made;
  }

  static boolean needs(String mode) {
    return mode.equals("need") || mode.equals("trusting") || mode.equals("name");
  }

  static void jdk(String mode, int port, SSLContext made) throws Exception {
    com.sun.net.httpserver.HttpsServer server =
        com.sun.net.httpserver.HttpsServer.create(new InetSocketAddress("127.0.0.1", port), 0);
    server.setHttpsConfigurator(new com.sun.net.httpserver.HttpsConfigurator(made) {
      @Override public void configure(com.sun.net.httpserver.HttpsParameters parameters) {
        SSLParameters usual = made.getDefaultSSLParameters();
        if (needs(mode)) usual.setNeedClientAuth(true);
        else usual.setWantClientAuth(mode.equals("want"));
        parameters.setSSLParameters(usual);
      }
    });
    server.createContext("/", exchange -> {
      exchange.sendResponseHeaders(200, PAGE.length);
      exchange.getResponseBody().write(PAGE);
      exchange.close();
    });
    server.setExecutor(Executors.newCachedThreadPool());
    server.start();
  }

  public static void main(String[] arguments) throws Exception {
    jdk(arguments[0], Integer.parseInt(arguments[1]), context(arguments[0], Path.of(arguments[2])));
  }
}
