// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"born":"1970-01-01T00:00:00.000Z","nan":null,"key":{"type":"Buffer","data":[97]}}
function login(email, password, callback) {
  callback(null, {
    user_id: 1,
    born: new Date(0),
    gone: undefined,
    method() {},
    nan: NaN,
    key: Buffer.from('a'),
  });
}
