from scripts.prediction.sources.inventory import Inventory, Remark


def test_remark_then_its_message_or_location_and_reason():
    assert str(Remark("a/b", "no CT")) == "a/b: no CT"
    assert str(Remark("a/b", "no CT", "a/b is none")) == "a/b is none"
    assert Remark("a/b.zip/c", "no CT").folder == "a/b.zip"


def test_left_out_then_counted_by_reason_in_the_folders():
    skipped = [Remark("a/1", "no CT"), Remark("a/2", "no CT"), Remark("b/1", "no CT")]
    found = Inventory(skipped=skipped, refused=[Remark("a/3", "cut")])
    assert found.left_out_of({"a"}) == {"no CT": 2, "cut": 1}
