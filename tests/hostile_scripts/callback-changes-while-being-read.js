// attack: be another profile each time that it is read
// value: {"user_id":"1"}
function login(email, password, callback) {
  let reads = 0;
  callback(null, {
    get user_id() {
      reads += 1;
      return `${reads}`;
    },
  });
}
