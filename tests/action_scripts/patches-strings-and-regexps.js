// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  const gone = () => 'gone';
  for (const name of ['slice', 'charCodeAt', 'replace', 'split', 'match', 'toString', 'valueOf']) {
    String.prototype[name] = gone;
  }
  RegExp.prototype.exec = RegExp.prototype.test = gone;
  globalThis.String = gone;
  callback(null, { user_id: 1 });
}
