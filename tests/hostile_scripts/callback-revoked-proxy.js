// attack: hand over proxies that were revoked, as the error and as the profile
// outcome: any
function login(email, password, callback) {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  callback(proxy, proxy);
}
