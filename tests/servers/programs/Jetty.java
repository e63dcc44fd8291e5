// Jetty: Jetty.java MODE PORT CERTS, with Server.java's class beside it.
import java.io.IOException;
import java.nio.file.Path;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.SecureRequestCustomizer;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.SslConnectionFactory;
import org.eclipse.jetty.server.handler.AbstractHandler;
import org.eclipse.jetty.util.ssl.SslContextFactory;

public class Jetty {
  public static void main(String[] arguments) throws Exception {
    String mode = arguments[0];
    SslContextFactory.Server tls = new SslContextFactory.Server();
    tls.setSslContext(Server.context(mode, Path.of(arguments[2])));
    tls.setNeedClientAuth(Server.needs(mode));
    tls.setWantClientAuth(mode.equals("want"));
    HttpConfiguration configuration = new HttpConfiguration();
    configuration.addCustomizer(new SecureRequestCustomizer());
    org.eclipse.jetty.server.Server server = new org.eclipse.jetty.server.Server();
    ServerConnector connector = new ServerConnector(
        server, new SslConnectionFactory(tls, "http/1.1"), new HttpConnectionFactory(configuration));
    connector.setHost("127.0.0.1");
    connector.setPort(Integer.parseInt(arguments[1]));
    server.addConnector(connector);
    server.setHandler(new AbstractHandler() {
      @Override public void handle(String target, Request base, HttpServletRequest request, HttpServletResponse response)
          throws IOException {
        response.getOutputStream().write(Server.PAGE);
        base.setHandled(true);
      }
    });
    server.start();
  }
}
