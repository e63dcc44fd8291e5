// Servers of Go's net/http: server MODE PORT CERTS
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
)

func main() {
	mode, port, certs := os.Args[1], os.Args[2], os.Args[3]
	pem, err := os.ReadFile(certs + "/client-ca.crt")
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	types := map[string]tls.ClientAuthType{
		"none": tls.NoClientCert, "request": tls.RequestClientCert, "any": tls.RequireAnyClientCert,
		"given": tls.VerifyClientCertIfGiven, "required": tls.RequireAndVerifyClientCert,
		"callback-name": tls.RequireAnyClientCert, "callback-any-purpose": tls.RequireAnyClientCert,
		"handler-name": tls.RequestClientCert, "required-http1": tls.RequireAndVerifyClientCert,
	}
	config := &tls.Config{ClientAuth: types[mode], ClientCAs: pool}
	if mode == "callback-name" {
		config.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
			leaf, err := x509.ParseCertificate(raw[0])
			if err != nil || leaf.Subject.CommonName != "alice" {
				return errors.New("not alice")
			}
			return nil
		}
	}
	if mode == "callback-any-purpose" {
		config.VerifyPeerCertificate = func(raw [][]byte, _ [][]*x509.Certificate) error {
			leaf, err := x509.ParseCertificate(raw[0])
			if err != nil {
				return err
			}
			usages := []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
			_, err = leaf.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: usages})
			return err
		}
	}
	server := &http.Server{Addr: "127.0.0.1:" + port, TLSConfig: config}
	if mode == "required-http1" {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	server.Handler = http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		given := request.TLS.PeerCertificates
		if mode == "handler-name" && (len(given) == 0 || given[0].Subject.CommonName != "alice") {
			answer.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(answer, "hello from afar")
	})
	panic(server.ListenAndServeTLS(certs+"/server.crt", certs+"/server.key"))
}
