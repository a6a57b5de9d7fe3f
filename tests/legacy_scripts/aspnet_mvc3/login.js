function login(email, password, callback) {
  const crypto = require('crypto');
  const sqlserver = require('tedious@11.0.3');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: {
      port: Number(configuration.SQL_PORT),
      database: 'membership',
      rowCollectionOnRequestCompletion: true
    }
  });

  function hashOf(text, salt) {
    const bytes = new Buffer(text, 'utf16le');
    return crypto.createHash('sha1').update(Buffer.concat([new Buffer(salt, 'base64'), bytes])).digest('base64');
  }

  connection.on('connect', function (err) {
    if (err) return callback(err);
    const query =
      'SELECT Memberships.UserId, Memberships.Email, Users.UserName, Memberships.Password, Memberships.PasswordSalt ' +
      'FROM Memberships INNER JOIN Users ON Users.UserId = Memberships.UserId ' +
      'WHERE (Memberships.Email = @Username OR Users.UserName = @Username) AND Memberships.IsApproved = 1';
    const request = new Request(query, function (err, rowCount, rows) {
      if (err) return callback(err);
      if (rowCount < 1) return callback();
      const row = {};
      rows[0].forEach(function (column) { row[column.metadata.colName] = column.value; });
      if (hashOf(password, row.PasswordSalt) !== row.Password) return callback(new WrongUsernameOrPasswordError(email));
      callback(null, { user_id: row.UserId, nickname: row.UserName, email: row.Email });
    });
    request.addParameter('Username', TYPES.VarChar, email);
    connection.execSql(request);
  });
}
